"""A one-page Dash app: choose an exponent, see its curve."""

from dash import Dash, Input, Output, dcc, html

app = Dash(__name__)
server = app.server

app.layout = html.Div(
    [
        html.H1("Powers"),
        dcc.Slider(1, 5, 1, value=2, id="exponent"),
        dcc.Graph(id="curve"),
    ]
)


@app.callback(Output("curve", "figure"), Input("exponent", "value"))
def draw(exponent):
    xs = list(range(-10, 11))
    return {
        "data": [{"x": xs, "y": [x**exponent for x in xs], "type": "scatter"}],
        "layout": {"title": f"x to the power of {exponent}"},
    }


if __name__ == "__main__":
    app.run()
