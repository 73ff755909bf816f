"""Tools and playbooks for Reprise in Python. See docs/GUEST-PYTHON.md."""
