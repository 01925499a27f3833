"""A WSGI API that turns rows into a text table."""

import bottle
from tabulate import tabulate

app = bottle.Bottle()


@app.get("/")
def index():
    bottle.response.content_type = "text/plain; charset=utf-8"
    return tabulate([["Alice", 24], ["Bob", 19]], headers=["name", "age"])
