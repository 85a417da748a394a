"""How a process of ours starts, ends, writes files and runs things side by side."""
