"""The commands of `clc`, one file a group. Heavy imports happen inside commands, so that `clc --help` is quick."""
