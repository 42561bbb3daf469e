"""Which data exist, which groups they form, and what is to be made of them."""
