"""How good heights are: metrics, tables and pictures."""
