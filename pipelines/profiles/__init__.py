"""Named profiles, one TOML file each (`clc.profile.Profile`)."""
