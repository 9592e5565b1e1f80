"""The admin API, with which operators manage rules, drain rates and dead letters."""
