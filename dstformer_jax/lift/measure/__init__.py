"""What `lift` does to real files and unseen people, in numbers: `python -m ... measure SUBJECT`."""
