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

/// A table. Without a width it has one line per row; otherwise long texts are wrapped.
pub(crate) struct Grid {
    table: Table,
}

impl Grid {
    pub(crate) fn new(columns: &[GridColumn]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(columns.iter().map(|column| match column {
            GridColumn::Number(name) | GridColumn::Word(name) | GridColumn::Text(name) => *name,
        }));
        for (place, column) in table.column_iter_mut().zip(columns) {
            place.set_padding((0, 2));
            if !matches!(column, GridColumn::Text(_)) {
                place.set_constraint(ColumnConstraint::ContentWidth);
            }
            if matches!(column, GridColumn::Number(_)) {
                place.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { table }
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

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Writes the table, or nothing if it has no rows.
    pub(crate) fn write(mut self, screen: &mut Screen) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        match screen.width() {
            Some(width) => {
                self.table.set_content_arrangement(ContentArrangement::Dynamic);
                // The last column ends with two spaces, which are trimmed.
                self.table.set_width(u16::try_from(width).unwrap_or(u16::MAX).saturating_add(2));
            }
            None => {
                self.table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        self.hide_empty_columns();
        for (at, line) in self.table.lines().enumerate() {
            let tone = if at == 0 { Tone::Heading } else { Tone::Plain };
            let line = screen.toned(tone, line.trim_end());
            screen.line(line)?;
        }
        Ok(())
    }
}
