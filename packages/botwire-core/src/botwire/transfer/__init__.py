"""Moving what is remembered: between homes, into files and back, and into backups.

- `entries.py`: an entry on its way, and the two operations that read and write it in a store;
- `homes.py`: a store or a server, as copies see it;
- `copying.py`: `copy`, which brings one home up to another; `lines.py`: JSON Lines;
- `backup.py`: a copy of a SQLite file while others use it.

Between files and databases everything is kept: versions, times, what is left of a ttl. A server
takes new entries as its own writes, so there versions begin anew, and its quotas count.
"""

from botwire.transfer.backup import backup
from botwire.transfer.copying import Copied, copy
from botwire.transfer.lines import export_lines, import_lines

__all__ = ["Copied", "backup", "copy", "export_lines", "import_lines"]
