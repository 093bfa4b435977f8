"""The command line: argv becomes frozen options, errors become exit codes."""
