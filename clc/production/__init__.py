"""What is in production: profiles, drift, the gate and promotion."""
