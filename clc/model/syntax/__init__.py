"""Neural syntax: a few numbers a photo, from which a decoder makes weights of its last layers.

After Wang, Yang, Hu, Liu, "Neural Data-Dependent Transform for Learned Image Compression" (CVPR 2022). Sizes are ours.
"""
