"""System checks of declared tools and agents."""
