"""What both panels share; it knows neither of them."""
