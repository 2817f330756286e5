"""What is sent: formats, headers, one file or many, problems."""
