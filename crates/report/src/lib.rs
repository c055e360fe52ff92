//! Findings into charts, one offline HTML file, SVG, PNG, CSV, JSON and Parquet
