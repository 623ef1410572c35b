"""Network and enhancer inside other tools, in their words.

- :mod:`seedpipe.integrations.pyannote`: speaker embeddings of a diarization pipeline of pyannote.audio;
- :mod:`seedpipe.integrations.speechbrain`: what SpeechBrain's ``SpeakerRecognition`` is asked for;
- :mod:`seedpipe.integrations.xvectors`: x-vector folders of Kaldi and WeSpeaker.

A module imports its tool when it is imported itself; :class:`Embedder` needs none.
"""

from seedpipe.integrations.embedder import Embedder

__all__ = ["Embedder"]
