"""Every claim about speed, memory and rate, one script each. They print what docs/ quotes, and are not tests."""
