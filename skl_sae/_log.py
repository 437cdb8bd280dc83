"""The logger of the package: at DEBUG it says which route a fit takes."""

import logging

logger = logging.getLogger("skl_sae")
