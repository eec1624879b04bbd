"""What a session recorded, line by line, safe against crashes."""
