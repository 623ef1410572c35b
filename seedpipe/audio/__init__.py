"""What is heard: decoding, manifests of corpora, noise, music and rooms, and front ends before a network."""
