"""Bodies that judge fingerprints, behind `ports.Platform`, and whom the law names to be told, behind `ports.Authority`.

In it: `shield`, `photodna`, `hma`; `cybertip` and its `letter`; what they share: `http`, `answer`, `asked`,
`credential`, `terms`. Not in it: what a ruling does to a case, retries and limits (`wrappers`), and which body is
asked (`wiring`).
Rules: only fingerprints are sent to judges, and who asks; an authority is told addresses, and no body ever a picture;
an adapter is made by `.sandbox()` or `.live()` and in no other way.
"""
