"""Bodies that judge fingerprints, each behind `ports.Platform`.

In it: `shield`, `photodna`, `hma`; what they share: `http`, `answer`, `asked`, `credential`, `terms`. Not in it: what a
ruling does to a case, retries and limits (`wrappers`), and which body is asked (`wiring`).
Rules: only fingerprints are sent, and who asks; an adapter is made by `.sandbox()` or `.live()` and in no other way.
"""
