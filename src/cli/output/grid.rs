//! [`Grid`]: a table that fits the screen.

use std::io;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use super::screen::{Screen, Tone};

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GridColumn {
    /// Aligned to the right. Never wrapped.
    Number(&'static str),
    /// A short text that is never wrapped.
    Word(&'static str),
    /// A text of any length, wrapped if the screen is too narrow.
    Text(&'static str),
}

/// The columns that a text gets at least. On a narrower screen each cell has a line of its own.
const MIN_TEXT: usize = 12;
/// The spaces between two columns.
const GAP: u16 = 2;

impl GridColumn {
    const fn name(&self) -> &'static str {
        match self {
            Self::Number(name) | Self::Word(name) | Self::Text(name) => name,
        }
    }
}

/// A table. Without a width it has one line per row; otherwise long texts are wrapped.
pub(crate) struct Grid {
    table: Table,
    columns: Vec<GridColumn>,
}

impl Grid {
    pub(crate) fn new(columns: &[GridColumn]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(columns.iter().map(GridColumn::name));
        for (place, column) in table.column_iter_mut().zip(columns) {
            place.set_padding((0, GAP));
            if !matches!(column, GridColumn::Text(_)) {
                place.set_constraint(ColumnConstraint::ContentWidth);
            }
            if matches!(column, GridColumn::Number(_)) {
                place.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { table, columns: columns.to_vec() }
    }

    /// Adds a row, whose cells are in the order of the columns.
    pub(crate) fn row<const CELLS: usize>(&mut self, cells: [String; CELLS]) {
        self.table.add_row(cells);
    }

    /// Hides the columns without any text, such as that of tenants where there are none.
    fn hide_empty_columns(&mut self) {
        let columns = self.table.column_count();
        for column in 0..columns {
            let mut cells = self.table.column_cells_iter(column);
            if cells.all(|cell| cell.is_none_or(|cell| cell.content().is_empty()))
                && let Some(column) = self.table.column_mut(column)
            {
                column.set_constraint(ColumnConstraint::Hidden);
            }
        }
    }

    /// Returns the width below which texts would be wrapped beyond reading.
    fn min_width(&self) -> usize {
        let widths = self.table.column_max_content_widths();
        let shown = self.table.column_iter().zip(widths).zip(&self.columns);
        let shown = shown.filter(|((column, _), _)| !column.is_hidden());
        let widths = shown.map(|((_, width), column)| match column {
            GridColumn::Text(_) => usize::from(width).min(MIN_TEXT),
            _ => usize::from(width),
        });
        widths.fold(0, |sum, width| sum + width + usize::from(GAP)).saturating_sub(GAP.into())
    }

    /// Writes each cell with the name of its column in a line of its own.
    fn write_cells(self, screen: &mut Screen) -> io::Result<()> {
        let names = self.columns.iter().map(GridColumn::name);
        let longest = names.map(str::len).max().unwrap_or(0);
        for (at, row) in self.table.row_iter().enumerate() {
            if at > 0 {
                screen.line("")?;
            }
            for (column, cell) in self.columns.iter().zip(row.cell_iter()) {
                let (name, text) = (column.name(), cell.content());
                if !text.is_empty() {
                    screen.paragraph(&format!("{name:longest$} {text}"))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Writes the table, or nothing if it has no rows.
    pub(crate) fn write(mut self, screen: &mut Screen) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        self.hide_empty_columns();
        match screen.width() {
            Some(width) if self.min_width() > width => return self.write_cells(screen),
            Some(width) => {
                self.table.set_content_arrangement(ContentArrangement::Dynamic);
                // The last column ends with two spaces, which are trimmed.
                self.table.set_width(u16::try_from(width).unwrap_or(u16::MAX).saturating_add(2));
            }
            None => {
                self.table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        for (at, line) in self.table.lines().enumerate() {
            let tone = if at == 0 { Tone::Heading } else { Tone::Plain };
            let line = screen.toned(tone, line.trim_end());
            screen.line(line)?;
        }
        Ok(())
    }
}
