"""What a browser is told when it may not see the dashboard, and with what rules any page comes.

The rules: everything from here and nothing from elsewhere, in nobody's frame, and no page that is
left says where it was (the address may have had a token in it).
"""

from __future__ import annotations

from html import escape

from aiohttp import web

_GET_ADDRESS = (
    "In the terminal of <code>qtui web</code> press Enter for a new address, or run "
    "<code>qtui web</code> again."
)


def denied(token_given: bool) -> web.Response:
    """For a browser without a cookie, and with a token that is void if `token_given`."""
    why = (
        "This address has been used already, or was never valid: it works once."
        if token_given
        else "This browser has not been let in."
    )
    again = '<a href="/">It has been, and came here from another site.</a>'
    return _page(403, "qtui", f"<p>{why}</p><p>{_GET_ADDRESS}</p><p>{again}</p>")


def let_in() -> web.Response:
    """Sends the browser on to the dashboard.

    Not by a redirect: after a link on another site (a console in the browser, say) the cookie,
    which is kept from other sites, would not be sent along. From a page of ours it is.
    """
    onwards = '<p><a href="/">To the dashboard</a></p>'
    return _page(200, "qtui", onwards, '<meta http-equiv="refresh" content="0;url=/">')


def unknown_host(host: str) -> web.Response:
    """For a name by which this is not known."""
    text = (
        f"qtui web does not know the name {host[:200]!a}.\n"
        "If you reach it by this name, start it with --public-url and the address in your browser."
    )
    return web.Response(status=421, text=text)


def _page(status: int, title: str, body: str, head: str = "") -> web.Response:
    text = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{head}'
        '<link rel="icon" href="data:,">'  # or the browser asks for one
        f"<title>{escape(title)}</title></head><body>{body}</body></html>"
    )
    return web.Response(status=status, text=text, content_type="text/html")


def rules(origin: str, *, stored: bool) -> dict[str, str]:
    """Headers of every answer under `origin`; `stored`: the browser may keep it and ask again.

    Styles may stand in the page: the terminal makes some as it runs. Scripts may not. The address
    of the websocket is given in full, because not every browser takes it for 'self'.
    """
    socket = origin.replace("http", "ws", 1)
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self'",
        "img-src 'self' data:",
        f"connect-src 'self' {socket}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, no-cache" if stored else "no-store",
        "Server": "qtui",
    }
