"""Desired x observed x last applied -> Plan, and what became of one."""
