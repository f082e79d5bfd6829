"""The ``giltrace`` command: one module per subcommand, imported when it is run."""
