"""The landing zone: finding files and registering them, and putting them where they are found."""
