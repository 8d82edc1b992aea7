"""De-identify chest imaging and submit it to the BSTI COVID-19 imaging registry."""

__version__ = "0.1.0"
