"""Other tools, each run by a script in the Python of an environment of its own.

``script_tool`` is our end. The scripts, and ``rival_job`` that says what goes in and out, are executed by the
other Python and never imported here.
"""
