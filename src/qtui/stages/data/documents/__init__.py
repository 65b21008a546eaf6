"""PDF, Word, HTML, Markdown and text: read in processes that can be killed, and cut into pieces."""
