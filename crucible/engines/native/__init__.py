"""The native engine: a C++ interpreter that trains one blueprint a core from first to last step."""
