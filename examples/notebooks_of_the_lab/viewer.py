"""One session drawn."""

import matplotlib.pyplot as plt
import pandas as pd

from iblnm.config import SESSIONS_FPATH, SESSIONS_H5_DIR
from iblnm.data import PhotometrySession
from iblnm.gui import PhotometrySessionViewer

eids = pd.read_parquet(SESSIONS_FPATH)["eid"]
eid = next(eid for eid in eids if (SESSIONS_H5_DIR / f"{eid}.h5").exists())
session = PhotometrySession.from_h5(SESSIONS_H5_DIR / f"{eid}.h5")
PhotometrySessionViewer(session).plot()
print(f"{session.date} {session.subject}: {len(plt.get_fignums())} figure")
plt.show()
