"""python server.py FOLDER KEY CERT PORT: tuspyserver over TLS on loopback."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router

folder, key, cert, port = sys.argv[1:]
app = FastAPI()
app.include_router(create_tus_router(files_dir=folder, prefix="files"))
uvicorn.run(app, host="127.0.0.1", port=int(port), ssl_keyfile=key, ssl_certfile=cert, log_level="error")
