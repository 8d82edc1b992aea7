"""De-identification: recipe and profile → plan → engine → pixels → the final check."""
