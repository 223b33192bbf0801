"""Many workers at the same work, on this machine's cores or on Ray, and the places where what they work on lies."""
