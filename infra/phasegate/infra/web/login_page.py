"""Login page: the HTML that a browser without a session gets, and the script that turns a link into a session."""

from __future__ import annotations

import json

LOGIN_PATH = "/phasegate"
SCRIPT_PATH = "/phasegate/login.js"
SESSION_PATH = "/phasegate/session"

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy of the login page."""

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>phasegate: log in</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem; }}
code {{ font-family: ui-monospace, monospace; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #111; color: #eee; }} }}
</style>
<script src="{SCRIPT_PATH}" defer></script>
</head>
<body>
<h1>phasegate</h1>
<p id="state" role="status">Open the link that <code>phasegate up</code> prints. It logs this browser in, once.</p>
</body>
</html>
"""


def script(storage_item: str) -> str:
    """The page's script.

    Args:
        storage_item: The item of the browser's local storage that is to hold `Basic` credentials with the key.
    """
    item = json.dumps(storage_item)
    return f"""'use strict';
const item = {item};
const failed = 'This link was used already, or is older than five minutes. `phasegate up` prints another one.';
async function logIn(token) {{
  const headers = {{'Content-Type': 'application/json'}};
  const answer = await fetch('{SESSION_PATH}', {{method: 'POST', headers, body: JSON.stringify({{token}})}});
  if (!answer.ok) {{
    return false;
  }}
  localStorage.setItem(item, btoa('phasegate:' + (await answer.json()).key));
  return true;
}}
async function isLoggedIn() {{
  const credentials = localStorage.getItem(item);
  const headers = {{Authorization: 'Basic ' + credentials}};
  return credentials !== null && (await fetch('{SESSION_PATH}', {{headers}})).ok;
}}
async function start() {{
  const token = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  if (token !== '' && (await logIn(token) || await isLoggedIn())) {{
    location.replace('/');
  }} else if (token !== '') {{
    document.getElementById('state').textContent = failed;
  }}
}}
start();
"""
