"""Hash lists: reading what bodies give out, compiling it to one file, opening that file into shared memory.

In it: `file`, `csvfile`, `jsonfile` and `ncmec` read sources; `gathering` holds what they gave; `compiling`, `layout`,
`entries` and `sealing` make the `.vsl` file; `compiled` opens it; `seen` remembers the highest version of each list.
`fetching` asks an exchange (`ncmec_service`, `document`, over `service`), keeps what is known in `state`, and compiles.
Not in it: comparing rows with a list (kernels, screen).
Rules: no value of a list stands in a message, a repr or an exception; nothing of a sealed list is on disk in clear.
"""
