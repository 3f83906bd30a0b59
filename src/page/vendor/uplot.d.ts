/** The build puts uPlot's own module beside this: a browser finds files, not packages. */
import uPlot from 'uplot';

export default uPlot;
