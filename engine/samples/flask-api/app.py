"""A WSGI API that says which Python serves it."""

import platform

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def index():
    return jsonify(python=platform.python_version(), message="Hello from Flask")


@app.get("/add/<int:left>/<int:right>")
def add(left, right):
    return jsonify(sum=left + right)
