"""What answers hold, as structs: the reference shows them. A room for each thing asked about."""
