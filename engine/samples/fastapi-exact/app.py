"""An ASGI API with one typed route."""

import platform

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def index(name: str = "world"):
    return {"message": f"Hello, {name}", "python": platform.python_version()}
