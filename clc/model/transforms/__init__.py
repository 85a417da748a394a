"""Analysis and synthesis transforms g_a and g_s."""
