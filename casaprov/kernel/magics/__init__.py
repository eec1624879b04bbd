"""%casaprov, %%casaprov_sh, %casahelp."""
