"""Named profiles, one TOML file each (`clc.production.profile.Profile`)."""
