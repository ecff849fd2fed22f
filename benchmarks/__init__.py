"""What a token costs on its whole path, here and in the systems that do the same: see README.md."""
