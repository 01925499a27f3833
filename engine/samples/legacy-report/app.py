"""A WSGI report from the days of Python 3.4."""

import datetime

from flask import Flask

app = Flask(__name__)


@app.route("/")
def report():
    return "Report of {:%Y-%m-%d}: all is well.".format(datetime.date.today())
