"""Pictures: which must be looked at, what people decided, previews, the review page, lossless recoding."""
