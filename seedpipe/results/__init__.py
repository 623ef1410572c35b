"""What stage three leaves behind: tables, figures and the report."""
