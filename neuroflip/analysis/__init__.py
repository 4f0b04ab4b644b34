"""What circuits do, measured: truth tables, retention, margins, and the rate cell beside them."""
